"""What lnet's HTML pages have in common: the style, the script of those that are live, and the reading of templates."""
