"""Made-up installations with years of data, for demonstrations and measurements: `manage.py fill_demo_data`."""
