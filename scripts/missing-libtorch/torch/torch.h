#error "libtorch is not set up in this checkout. Run `make setup` (or set LIBTORCH to a libtorch 2.11, or LIBTORCH_USE_PYTORCH=1), then build again."
