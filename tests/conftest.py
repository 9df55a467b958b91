"""What holds for every test."""

from hypothesis import settings

# A busy machine is no fault of the product: how long one example takes is measured in benchmarks/, never by a test.
settings.register_profile("crs-risk", deadline=None)
settings.load_profile("crs-risk")
