"""Las páginas: catálogo, ficha, carrito, pedidos y `/salud`."""

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, session, url_for
from sqlalchemy import select, update

from .modelos import Juego, Linea, Pedido

vistas = Blueprint("tienda", __name__)

MAXIMO = 9  # unidades de un juego en un carrito


class SinExistencias(Exception):
    """No queda bastante de un juego."""


def carrito():
    """El carrito de la sesión: clave del juego -> cantidad."""
    return session.setdefault("carrito", {})


def renglones(sesion):
    """Los juegos del carrito con su cantidad, en el orden en que entraron."""
    juegos = {juego.clave: juego for juego in sesion.scalars(select(Juego).where(Juego.clave.in_(carrito())))}
    return [(juegos[clave], cantidad) for clave, cantidad in carrito().items() if clave in juegos]


@vistas.app_context_processor
def comunes():
    return {"en_carrito": sum(carrito().values())}


@vistas.get("/")
def catalogo():
    plataforma = request.args.get("plataforma", "")
    consulta = select(Juego).order_by(Juego.titulo)
    if plataforma:
        consulta = consulta.where(Juego.plataforma == plataforma)
    with current_app.sesiones() as sesion:
        plataformas = sesion.scalars(select(Juego.plataforma).distinct().order_by(Juego.plataforma)).all()
        juegos = sesion.scalars(consulta).all()
    return render_template("catalogo.html", juegos=juegos, plataformas=plataformas, plataforma=plataforma)


@vistas.get("/juegos/<clave>")
def ficha(clave):
    with current_app.sesiones() as sesion:
        juego = sesion.scalar(select(Juego).where(Juego.clave == clave)) or abort(404)
    return render_template("ficha.html", juego=juego)


@vistas.post("/carrito")
def cambiar_carrito():
    clave = request.form.get("clave", "")
    cantidad = request.form.get("cantidad", 1, type=int)
    with current_app.sesiones() as sesion:
        juego = sesion.scalar(select(Juego).where(Juego.clave == clave)) or abort(404)
    cesta = carrito()
    if request.form.get("accion") == "quitar":
        cesta.pop(clave, None)
    else:
        cesta[clave] = max(1, min(cesta.get(clave, 0) + cantidad, MAXIMO, juego.existencias or 1))
        flash(f"«{juego.titulo}» está en el carrito.")
    session.modified = True
    return redirect(url_for("tienda.ver_carrito"))


@vistas.get("/carrito")
def ver_carrito():
    with current_app.sesiones() as sesion:
        lineas = renglones(sesion)
    return render_template("carrito.html", lineas=lineas, total=sum(j.precio * n for j, n in lineas))


def guardar_pedido(nombre, correo):
    """Escribe el pedido y descuenta las existencias, todo o nada."""
    with current_app.sesiones.begin() as sesion:
        pedido = Pedido(nombre=nombre, correo=correo)
        for juego, cantidad in renglones(sesion):
            queda = update(Juego).where(Juego.id == juego.id, Juego.existencias >= cantidad)
            if sesion.execute(queda.values(existencias=Juego.existencias - cantidad)).rowcount == 0:
                raise SinExistencias(f"De «{juego.titulo}» no quedan {cantidad} unidades.")
            pedido.lineas.append(Linea(juego_id=juego.id, cantidad=cantidad, precio=juego.precio))
        sesion.add(pedido)
        sesion.flush()
        return pedido.id


@vistas.post("/pedidos")
def pedir():
    nombre = request.form.get("nombre", "").strip()[:80]
    correo = request.form.get("correo", "").strip()[:120]
    if not carrito():
        flash("El carrito está vacío.")
        return redirect(url_for("tienda.catalogo"))
    if not nombre or "@" not in correo:
        flash("Hace falta un nombre y un correo válido.")
        return redirect(url_for("tienda.ver_carrito"))
    try:
        numero = guardar_pedido(nombre, correo)
    except SinExistencias as falta:
        flash(str(falta))
        return redirect(url_for("tienda.ver_carrito"))
    session["carrito"] = {}
    current_app.logger.warning("pedido %s recibido", numero)
    return redirect(url_for("tienda.pedido", numero=numero))


@vistas.get("/pedidos")
def pedidos():
    with current_app.sesiones() as sesion:
        todos = sesion.scalars(select(Pedido).order_by(Pedido.id.desc()).limit(50)).all()
        return render_template("pedidos.html", pedidos=todos)


@vistas.get("/pedidos/<int:numero>")
def pedido(numero):
    with current_app.sesiones() as sesion:
        return render_template("pedido.html", pedido=sesion.get(Pedido, numero) or abort(404))


@vistas.get("/salud")
def salud():
    """Contesta cuando la base de datos contesta."""
    with current_app.sesiones() as sesion:
        return {"estado": "bien", "juegos": len(sesion.scalars(select(Juego.id)).all())}


@vistas.app_errorhandler(404)
def no_esta(_):
    return render_template("no_esta.html"), 404
