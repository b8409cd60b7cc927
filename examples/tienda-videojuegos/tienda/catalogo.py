"""El catálogo con que abre la tienda. Los juegos son inventados."""

from .modelos import Juego

CATALOGO = [
    ("faro-de-invierno", "Faro de invierno", "PC", "Aventura", 1999, 12, 205,
     "Una farera, una isla y una luz que no debe apagarse. Puzles tranquilos y un misterio entre la niebla."),
    ("circuito-lunar", "Circuito lunar", "Consola", "Carreras", 3495, 8, 265,
     "Derrapa en gravedad baja por doce cráteres. Hasta cuatro jugadores en pantalla partida."),
    ("la-huerta-infinita", "La huerta infinita", "Portátil", "Simulación", 2450, 20, 120,
     "Siembra, riega y vende en el mercado del domingo. Las estaciones cambian contigo."),
    ("ajedrez-pirata", "Ajedrez pirata", "PC", "Estrategia", 1250, 15, 35,
     "Las piezas discuten tus órdenes. Gana la partida antes de que haya motín."),
    ("ecos-del-metro", "Ecos del metro", "Consola", "Terror", 2999, 6, 345,
     "La última línea no sale en el plano. Juega con auriculares y la luz encendida."),
    ("salto-de-rana", "Salto de rana", "Portátil", "Plataformas", 899, 30, 150,
     "Cien charcas, un botón y una rana con mucha prisa. Para partidas de tres minutos."),
    ("cocina-de-barrio", "Cocina de barrio", "PC", "Cooperativo", 1799, 9, 15,
     "Sirve menús del día contrarreloj. Grita a tus amigos con cariño."),
    ("biblioteca-nocturna", "Biblioteca nocturna", "PC", "Rol", 4250, 5, 225,
     "Cada libro es una mazmorra. Devuélvelos antes del amanecer o paga la multa."),
]


def sembrar(sesiones):
    """Llena el catálogo si está vacío."""
    with sesiones.begin() as sesion:
        if sesion.query(Juego).first():
            return
        for clave, titulo, plataforma, genero, precio, existencias, tono, resumen in CATALOGO:
            sesion.add(Juego(clave=clave, titulo=titulo, plataforma=plataforma, genero=genero, precio=precio,
                             existencias=existencias, tono=tono, resumen=resumen))
