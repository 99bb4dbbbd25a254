"""From a plan of steps to records, ratings and a dataset."""
