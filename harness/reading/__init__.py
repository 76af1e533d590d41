"""Reading what other people wrote: arrays of any format, ids, images, YAML.  One reader for every door."""
