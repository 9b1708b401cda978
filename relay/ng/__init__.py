"""The ng control protocol of rtpengine: codec and vocabulary, without I/O."""
