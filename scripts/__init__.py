"""Commands that tie the rooms together. They may import every room; nothing imports them."""
