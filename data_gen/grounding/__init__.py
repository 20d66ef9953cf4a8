"""Which words say what: values in words, the words of an argument, and what was understood after each word."""
