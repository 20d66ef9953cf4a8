"""How a request is spoken and heard: words, their times, slips, and what a recogniser makes of them."""
