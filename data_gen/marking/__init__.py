"""A line of the markup, piece by piece: values, marks, calls, spans, and the whole as it is read and written."""
