"""Small text files of what was published: split lists, names of radiographs without a mask."""
