"""From a predictor and a data set to outcomes and reports."""
