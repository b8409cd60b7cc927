
# Lo que un registro dice que va mal, y qué hacer.
hint-title = Qué hacer
hint-line = La línea que lo dice
hint-no-procfile = No hay Procfile, así que nada se ejecutará. Añade a la carpeta principal un fichero llamado Procfile con una línea como: web: gunicorn app:app
hint-server-missing = El Procfile arranca un servidor que no está instalado. Añádelo a { $what } y despliega de nuevo.
hint-npm-only = El código tiene { $what } pero nada de Python. Aquí solo se construyen aplicaciones de Python: añade un requirements.txt a la carpeta principal.
hint-no-root = requirements.txt y Procfile deben estar en la carpeta principal de lo que despliegas. Muévelos allí, o despliega la subcarpeta que los contiene.
hint-no-packages = Nada dice qué paquetes necesita la aplicación. Añade un requirements.txt a la carpeta principal con un paquete por línea, por ejemplo flask y gunicorn; sin paquetes puede estar vacío.
hint-file-name = { $what } no se llama exactamente como debe. Cámbiale el nombre tal como dice la línea: cuentan las mayúsculas y cada letra.
hint-lock-missing = { $what } por sí solo no basta. Crea el archivo que nombra la línea con la herramienta que uses (uv lock, poetry lock, pipenv lock), súbelo y vuelve a desplegar. O escribe los paquetes en un requirements.txt.
hint-two-managers = Los paquetes están listados de más de una manera. Deja el archivo de la herramienta que uses (requirements.txt es lo más sencillo) y borra los demás.
hint-procfile-line = La línea { $what } del Procfile no está escrita como debe. Cada línea es un nombre, dos puntos y una orden, como: web: gunicorn app:app
hint-python-file = La versión de Python no está escrita como debe. Escribe una línea con una versión como 3.12 en .python-version, o borra el archivo para usar la del servidor.
hint-python-unavailable = Python { $what } no está disponible en este servidor. Escribe en .python-version una versión que lo esté, o borra el fichero para usar la del servidor.
hint-python-unsupported = La versión de Python pedida ya no tiene soporte. Escribe una actual como 3.12 en .python-version y borra runtime.txt.
hint-merge-markers = Quedó una fusión sin terminar: un fichero aún tiene líneas como <<<<<<< HEAD. Elige qué líneas quedan, borra las marcas y haz commit.
hint-utf16 = { $what } está guardado en UTF-16, como lo escribe “>” en PowerShell. Guárdalo en UTF-8 con tu editor, o escríbelo con: pip freeze | Out-File -Encoding utf8 requirements.txt
hint-lock-outdated = { $what } no corresponde a lo que pide el proyecto. Genéralo otra vez (uv lock, poetry lock o pipenv lock) y haz commit de él.
hint-local-path = Un requisito nombra un fichero de tu propio ordenador ({ $what }). conda escribe líneas así. Cámbiala por el nombre y la versión del paquete.
hint-windows-only = { $what } solo existe para Windows, y las aplicaciones corren en Linux. Borra su línea; si un paquete lo necesita en Windows, añade a la línea ; sys_platform == "win32"
hint-no-wheel = Un paquete no tiene versión lista para este Python. Usa una versión más nueva del paquete, u otro Python en .python-version.
hint-git-private = Un paquete viene de una dirección de Git que no se puede leer sin contraseña. Haz público el repositorio, o copia el código del paquete en tu proyecto.
hint-hash-mismatch = El paquete descargado no es el del hash que figura en los requisitos. Escribe los hashes de nuevo, por ejemplo con pip-compile --generate-hashes.
hint-package-renamed = El paquete { $what } tiene otro nombre: escribe { $fix } en su lugar.
hint-native-library = Un paquete debe compilarse con una biblioteca del sistema que no está. Usa uno ya compilado, como psycopg2-binary o PyMySQL.
hint-package-unknown = No existe ningún paquete llamado { $what }. Corrige el nombre.
hint-package-builtin = { $what } viene con Python y no es un paquete. Borra su línea.
hint-version-unknown = No existe la versión { $what }. Elige una que exista.
hint-conflict = Dos paquetes piden versiones que se excluyen. Quita la versión de uno de ellos y deja que el instalador elija.
hint-requirement-syntax = Una línea de requirements.txt no es un paquete. La versión se escribe con dos signos igual: flask==3.0.3
hint-disk-full = La construcción se quedó sin espacio en disco. Haz que escriba menos; si escribe poco, avisa a quien administra el servidor.
hint-build-memory = La construcción necesitó más memoria de la que puede tener. Instala menos paquetes, o paquetes que no haya que compilar.
hint-build-time = La construcción se detuvo a los { $what } minutos. Usa paquetes que no haya que compilar y scripts que terminen solos.
hint-collectstatic-root = Django no sabe dónde poner sus ficheros estáticos. Añade STATIC_ROOT = BASE_DIR / "staticfiles" a settings.py.
hint-crlf = Un script tiene finales de línea de Windows, que Linux no puede ejecutar. Guárdalo con finales LF y añade “* text=auto eol=lf” a .gitattributes.
hint-build-failed = { $what } es tan antiguo que hay que compilarlo, y eso falló. Pide una versión más nueva que ya venga compilada.
hint-memory = La aplicación necesita mucha más memoria de la que tiene y se detuvo. Carga menos a la vez, o usa menos procesos: pon la variable WEB_CONCURRENCY a 1.
hint-module-missing = El módulo { $what } no está instalado. Añade { $fix } a requirements.txt y despliega de nuevo.
hint-module-case = No hay ningún módulo { $what }. En Linux importan las mayúsculas: el import debe escribirse igual que el nombre del fichero.
hint-config-var = La aplicación necesita la variable { $what }, que no está definida. Añádela en Ajustes.
hint-indentation = Una línea del código está mal sangrada. Las líneas de encima del error dicen fichero y línea.
hint-syntax = El código tiene un error de sintaxis, así que nada arranca. Las líneas de encima del error dicen fichero y línea.
hint-wsgi-name = En el módulo no hay nada llamado { $what }. Lo que va tras los dos puntos en el Procfile debe ser el nombre de tu aplicación, como en gunicorn modulo:nombre
hint-settings-module = Django no encuentra su configuración. Pon la variable DJANGO_SETTINGS_MODULE a tuproyecto.settings.
hint-allowed-hosts = Django no responde para { $what }. Añade ese nombre a ALLOWED_HOSTS en settings.py.
hint-circular = Dos ficheros se importan el uno al otro ({ $what }). Lleva lo que ambos necesitan a un tercero, o importa dentro de la función que lo usa.
hint-library-missing = Un paquete necesita la biblioteca del sistema { $what }, que no está. Para OpenCV instala opencv-python-headless en vez de opencv-python.
hint-import-name = Un paquete ya no tiene { $what }: su versión nueva no encaja con otro paquete. Escribe la versión anterior en requirements.txt, o actualiza el otro.
hint-dialect-postgres = SQLAlchemy quiere direcciones que empiecen por postgresql://. Cambia “postgres://” por eso antes de crear el motor.
hint-database-local = La aplicación busca una base de datos en su propia máquina, donde no hay ninguna. Añade una en Recursos y lee su dirección de la variable DATABASE_URL.
hint-migrations = A la base de datos le faltan las tablas de Django. Ejecuta python manage.py migrate, o añade al Procfile la línea “release: python manage.py migrate”.
hint-sqlite-table = El fichero SQLite no tiene la tabla { $what }: lo que un dyno escribe se pierde en su próximo arranque. Crea las tablas al arrancar, o añade una base de datos que perdure.
hint-template-missing = No se encontró la plantilla { $what }. Debe estar en la carpeta templates, y las mayúsculas importan.
hint-keyboard = La aplicación espera que alguien escriba, y nadie puede. Cambia input() por variables de configuración o un formulario web.
hint-no-display = La aplicación quiere abrir una ventana, y un servidor no tiene pantalla. Borra lo que muestra ventanas (tkinter, plt.show(), cv2.imshow()).
hint-port-literal = $PORT no se cambió por su número: las comillas simples lo impiden. Escribe $PORT sin comillas en el Procfile.
hint-command-missing = No existe el programa { $what }. Corrige el Procfile, o añade a requirements.txt el paquete que lo trae.
hint-file-missing = El Procfile arranca { $what }, y ese fichero no existe. Las mayúsculas importan.
hint-address-in-use = Dos programas de la aplicación quieren el mismo puerto. Arranca el servidor una sola vez, y deja app.run() tras: if __name__ == "__main__":
hint-worker-timeout = Una petición tardó más de lo que gunicorn permite, y su proceso se detuvo. Haz el trabajo lento en un proceso worker, o da a gunicorn --timeout 25
hint-loopback = La aplicación escucha en 127.0.0.1, donde nadie llega, en el puerto { $what }. Escucha en 0.0.0.0 y en el puerto de la variable de entorno PORT.
hint-port-fixed = La aplicación no escuchó en el puerto que se le dio. Léelo del entorno: port=int(os.environ["PORT"]), o -b 0.0.0.0:$PORT
hint-debug-mode = La aplicación corre en modo de depuración: usa el doble de memoria y enseña su código a los visitantes. Arráncala con gunicorn, o con debug=False.
hint-exits = El programa terminó solo. Un proceso web debe seguir corriendo y responder peticiones; quizá el Procfile arranca otro fichero.
hint-crash = La aplicación terminó con un error: { $what }
