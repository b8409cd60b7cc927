"""Counts its visits. Its dependencies are pinned by uv.lock, its Python by .python-version."""

import itertools
import platform

from flask import Flask, jsonify

app = Flask(__name__)
visits = itertools.count(1)


@app.get("/")
def index():
    return jsonify(visit=next(visits), python=platform.python_version())
