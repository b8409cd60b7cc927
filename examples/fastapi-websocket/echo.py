"""A page with a websocket that answers every message."""

import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

app = FastAPI()

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Echo</title>
<style>body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }</style>
<h1>Echo</h1>
<form><label>Message <input id="words" autofocus autocomplete="off"></label> <button>Send</button></form>
<ul id="answers" aria-live="polite"></ul>
<script>
const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
socket.onmessage = ({ data }) => {
  const item = document.createElement("li");
  item.textContent = data;
  document.getElementById("answers").append(item);
};
document.forms[0].onsubmit = (event) => {
  event.preventDefault();
  const words = document.getElementById("words");
  socket.send(words.value);
  words.value = "";
};
</script>
</html>"""


@app.get("/", response_class=HTMLResponse)
def page():
    return PAGE


@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    await socket.send_text(os.environ.get("GREETING", "Hello."))
    try:
        while True:
            await socket.send_text("echo: " + await socket.receive_text())
    except WebSocketDisconnect:
        pass
