"""One file per published data set: it finds its layout and lists one row per radiograph."""
