"""Says hello. Its dependencies are pinned by poetry.lock."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return f"Hello from Poetry on {os.environ.get('DYNO', 'this machine')}.\n"
