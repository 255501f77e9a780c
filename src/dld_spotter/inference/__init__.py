"""One way to read an image, over several backends."""
