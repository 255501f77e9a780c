"""Reading the regions that the rule chose once more, from a mosaic of full-resolution pixels."""
