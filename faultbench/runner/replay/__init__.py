"""One stored trial run again and looked at closely: its flips, what they do site by site, the images that they turn."""
