
# What a log says is wrong, and what to do about it.
hint-title = What to do
hint-line = The line that tells it
hint-no-procfile = There is no Procfile, so nothing will run. Add a file named Procfile to the top folder with one line such as: web: gunicorn app:app
hint-server-missing = The Procfile starts a server that is not installed. Add it to { $what } and deploy again.
hint-npm-only = The source has a { $what } but nothing of Python. Only Python apps can be built here: add a requirements.txt to the top folder.
hint-no-root = requirements.txt and Procfile must be in the top folder of what you deploy. Move them there, or deploy the subfolder they are in.
hint-no-packages = Nothing says which packages the app needs. Add a requirements.txt to the top folder with one package a line, for example flask and gunicorn; without packages it may be empty.
hint-file-name = { $what } has not quite the name it needs. Rename it exactly as the line says: upper and lower case and every letter count.
hint-lock-missing = { $what } alone is not enough. Make the file the line names with the tool you use (uv lock, poetry lock, pipenv lock), commit it, and deploy again. Or write the packages into a requirements.txt.
hint-two-managers = The packages are listed in more than one way. Keep the file of the tool you use (requirements.txt is the simplest) and delete the others.
hint-procfile-line = Line { $what } of the Procfile is not written as it must be. Each line is a name, a colon and a command, such as: web: gunicorn app:app
hint-python-file = The Python version is not written as it must be. Write one line with a version such as 3.12 into .python-version, or delete the file to use the server's own.
hint-python-unavailable = Python { $what } cannot be had on this server. Write a version that can into .python-version, or delete that file to use the server's own.
hint-python-unsupported = The Python version asked for is no longer supported. Write a current one such as 3.12 into .python-version and delete runtime.txt.
hint-merge-markers = A merge was left unfinished: a file still has lines such as <<<<<<< HEAD. Choose which lines to keep, delete the markers and commit.
hint-utf16 = { $what } is stored as UTF-16, as PowerShell's “>” writes it. Save it as UTF-8 in your editor, or write it with: pip freeze | Out-File -Encoding utf8 requirements.txt
hint-lock-outdated = { $what } does not fit what the project asks for. Lock again (uv lock, poetry lock or pipenv lock) and commit the file.
hint-local-path = A requirement names a file on your own computer ({ $what }). conda writes such lines. Replace it by the package's name and version.
hint-windows-only = { $what } exists for Windows only, and apps run on Linux. Delete its line; if a package needs it on Windows, add ; sys_platform == "win32" to the line.
hint-no-wheel = A package has no build for this Python version. Take a newer version of the package, or another Python in .python-version.
hint-git-private = A package comes from a Git address that cannot be read without a password. Make the repository public, or copy the package's code into the source.
hint-hash-mismatch = The downloaded package is not the one whose hash stands in the requirements. Write the hashes again, with pip-compile --generate-hashes for example.
hint-package-renamed = The package { $what } has another name: write { $fix } instead.
hint-native-library = A package must be compiled against a system library that is not here. Take one that comes ready-made, such as psycopg2-binary or PyMySQL.
hint-package-unknown = There is no package named { $what }. Correct its name.
hint-package-builtin = { $what } comes with Python and is not a package. Delete its line.
hint-version-unknown = There is no version { $what }. Choose one that exists.
hint-conflict = Two packages ask for versions that exclude each other. Delete the version of one of them and let the installer choose.
hint-requirement-syntax = A line of requirements.txt is not a package. A version is written with two equal signs: flask==3.0.3
hint-disk-full = The build ran out of disk space. Make it write less; if it writes little, tell the operator of this server.
hint-build-memory = The build needed more memory than it may have. Install fewer packages, or ones that need not be compiled.
hint-build-time = The build was stopped after { $what } minutes. Take packages that need not be compiled, and hooks that end by themselves.
hint-collectstatic-root = Django does not know where to put its static files. Add STATIC_ROOT = BASE_DIR / "staticfiles" to settings.py.
hint-crlf = A script has Windows line ends, which Linux cannot run. Save it with LF line ends, and add “* text=auto eol=lf” to .gitattributes.
hint-build-failed = { $what } is so old that it must be compiled, and that failed. Ask for a newer version that comes ready-made.
hint-memory = The app needs far more memory than it has and was stopped. Load less at once, or run fewer workers: set the config var WEB_CONCURRENCY to 1.
hint-module-missing = The module { $what } is not installed. Add { $fix } to requirements.txt and deploy again.
hint-module-case = There is no module { $what }. On Linux upper and lower case matter: the import must be spelt exactly as the file is named.
hint-config-var = The app needs the config var { $what }, which is not set. Add it under Settings.
hint-indentation = A line of the code is indented wrongly. The lines above the error name file and line.
hint-syntax = The code has a syntax error, so nothing starts. The lines above the error name file and line.
hint-wsgi-name = The module has nothing called { $what }. What stands behind the colon in the Procfile must be the name of your app object, as in gunicorn module:name
hint-settings-module = Django does not know its settings. Set the config var DJANGO_SETTINGS_MODULE to yourproject.settings.
hint-allowed-hosts = Django does not answer for { $what }. Add this name to ALLOWED_HOSTS in settings.py.
hint-circular = Two files import each other ({ $what }). Move what both need into a third one, or import inside the function that uses it.
hint-library-missing = A package needs the system library { $what }, which is not here. For OpenCV install opencv-python-headless instead of opencv-python.
hint-import-name = A package no longer has { $what }: its new version does not fit another package. Write the older version into requirements.txt, or upgrade the other one.
hint-dialect-postgres = SQLAlchemy wants addresses that begin with postgresql://. Replace “postgres://” by it before you create the engine.
hint-database-local = The app looks for a database on its own machine, where none is. Attach a database under Resources and read its address from the config var DATABASE_URL.
hint-migrations = The database lacks Django's tables. Run python manage.py migrate, or add a line “release: python manage.py migrate” to the Procfile.
hint-sqlite-table = The SQLite file has no table { $what }: files a dyno writes are gone at its next start. Create the tables when the app starts, or attach a database that lasts.
hint-template-missing = The template { $what } was not found. It must be in the templates folder, and upper and lower case matter.
hint-keyboard = The app waits for somebody to type, and nobody can. Replace input() by config vars or a web form.
hint-no-display = The app wants to open a window, and a server has no screen. Delete what shows windows (tkinter, plt.show(), cv2.imshow()).
hint-port-literal = $PORT was not replaced by its number: single quotes keep the shell from doing so. Write $PORT without quotes in the Procfile.
hint-command-missing = There is no program { $what }. Correct the Procfile, or add the package that brings it to requirements.txt.
hint-file-missing = The Procfile starts { $what }, and there is no such file. Upper and lower case matter.
hint-address-in-use = Two programs of the app want the same port. Start the server once, and keep app.run() behind: if __name__ == "__main__":
hint-worker-timeout = A request took longer than gunicorn allows, so its worker was killed. Do slow work in a worker process, or give gunicorn --timeout 25
hint-loopback = The app listens on 127.0.0.1, where nobody can reach it, on port { $what }. Listen on 0.0.0.0 and on the port in the environment variable PORT.
hint-port-fixed = The app did not listen on the port it was given. Read it from the environment: port=int(os.environ["PORT"]), or -b 0.0.0.0:$PORT
hint-debug-mode = The app runs in debug mode: it takes twice the memory and shows its code to visitors. Start it with gunicorn, or with debug=False.
hint-exits = The program ended by itself. A web process must keep running and answer requests; the Procfile may start the wrong file.
hint-crash = The app ended with an error: { $what }
