"""The commands that read the dataset and make something of it: `export`, `quality`, `report`."""
