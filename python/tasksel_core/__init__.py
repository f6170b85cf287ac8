"""The kernels of tasksel: numpy in, numpy out. Needs nothing but numpy."""
