"""A fine app whose Procfile names a program that requirements.txt does not install."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "You will not see this until requirements.txt names gunicorn.\n"
