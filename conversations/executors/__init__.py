"""When and where wanted turns run."""
