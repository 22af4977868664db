"""Alert rules: an attribute, a threshold, for so many samples or so long; evaluated on the change feed.

# Note [What a sample is]
Each value that is written is one sample, tested in the order in which the feed brings them: the order of commit, and
within an import the order of lines. A rule looks at each entity by itself. It fires with the sample at which its
condition has been true for as many samples and for as long as it asks, by the samples' own instants; it is cleared by
the first sample that is no longer beyond the clear threshold, or by the value's removal. A late value, older than what
is stored, is not a sample. A sample that is not a number is passed over.

# Note [Once, although it comes again]
States, firings, queued notices and the feed's position are written in one transaction of PostgreSQL: what comes again
after a crash has been seen, or has left no trace. A transaction too large for one batch is applied in parts, and parts
can come again: so a state knows the LSN of the last sample that it counted, and a firing is known by its sample's LSN.

Where the feed could not go on and begins anew, the present values are tested, each as one sample if it is another than
the last that was counted, which its instant and its number tell. A state whose last sample was found so passes over the
same one, and older ones, when the feed brings them as well.
"""
