"""The packages that retrieval is measured on: none is trained on, and nothing in training repeats their code."""

from __future__ import annotations

from archives import Package

MOST_FUNCTIONS = 700

# Everything that was chosen (learning rate, views, weights of the fusion) was chosen on these.
DEVELOPMENT = {
    "arrow": "1.4.0",
    "attrs": "26.1.0",
    "black": "26.10.1",
    "click": "8.5.1",
    "dask": "2026.8.0",
    "Flask": "3.1.3",
    "httpx": "0.28.1",
    "Jinja2": "3.1.6",
    "marshmallow": "4.4.0",
    "peewee": "4.5.3",
    "pytest": "9.2.0",
    "requests": "2.34.2",
    "rich": "15.0.0",
    "sqlparse": "0.6.1",
    "starlette": "1.10.0",
    "Werkzeug": "3.1.9",
}

# These were scored once, for the figures that are published.
FRESH = {
    "CherryPy": "18.10.0",
    "beautifulsoup4": "4.15.0",
    "boltons": "26.2.0",
    "fabric": "3.2.3",
    "joblib": "1.6.0",
    "jsonschema": "4.26.0",
    "loguru": "0.7.3",
    "mkdocs": "1.6.1",
    "prompt_toolkit": "3.0.53",
    "pymongo": "4.20.0",
    "Scrapy": "2.19.0",
    "xarray": "2026.9.0",
}

SPLITS = {
    split: [Package(name, version) for name, version in listed.items()]
    for split, listed in (("dev", DEVELOPMENT), ("fresh", FRESH))
}
