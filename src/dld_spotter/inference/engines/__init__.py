"""Black-box OCR engines that read beside our own spotters; one file per engine."""
