"""At which size, and in how many passes, an OCR engine reads an image: learnt from what it read of other images."""
