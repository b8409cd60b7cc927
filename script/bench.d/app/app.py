"""The app of the benches: one page, the usual packages of a small shop beside it."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "up\n"
