//! Known failures by what logs say of them, the most telling first.

/// One known failure.
pub struct Rule {
    pub key: &'static str,
    /// Any of these tells it; `{}` stands for what it is about, `^` for the beginning of a line.
    pub signs: &'static [&'static str],
    /// Unless empty, one of these must be somewhere in the log too.
    pub also: &'static [&'static str],
}

const fn rule(key: &'static str, signs: &'static [&'static str]) -> Rule {
    Rule { key, signs, also: &[] }
}

const fn both(key: &'static str, signs: &'static [&'static str], also: &'static [&'static str]) -> Rule {
    Rule { key, signs, also }
}

const NOT_BOUND: &[&str] = &["Error R10 (Boot timeout)", "did not bind", "failed to bind to $PORT"];
const CRASHED: &[&str] = &["State changed from starting to crashed", "State changed from up to crashed"];

pub const RULES: &[Rule] = &[
    // Builds: what the source is.
    rule(
        "hint-server-missing",
        &["with gunicorn, but {} does not list it", "with uvicorn, but {} does not list it", "is started with {}, but"],
    ),
    rule("hint-npm-only", &["The source has a {}, but "]),
    rule("hint-no-root", &["No Python app was found in the root of the source."]),
    rule("hint-no-packages", &["Couldn't find any supported Python package manager files."]),
    rule("hint-file-name", &["^ !     `{}` looks like ", "No Procfile was found, but `{}`: rename it to Procfile"]),
    rule("hint-lock-missing", &["^ !     {} was found without "]),
    rule("hint-two-managers", &["^ !     Multiple Python package manager files were found"]),
    rule("hint-procfile-line", &["^ !     Procfile, line {}:"]),
    rule("hint-python-file", &["^ !     runtime.txt holds `{}`", "^ !     .python-version holds `{}`", "^ !     .python-version names "]),
    rule("hint-python-unavailable", &["^ !     Python {} cannot be had on this server."]),
    rule("hint-python-unsupported", &["asks for Python {}, which", "Python {} is not supported", "Python {} has reached its end-of-life"]),
    rule("hint-merge-markers", &["<<<<<<< ", ">>>>>>> ", "error: Unexpected '<', expected"]),
    rule("hint-utf16", &["{} is stored as UTF-16", "stream did not contain valid UTF-8", "invalid utf-8 sequence"]),
    rule(
        "hint-lock-outdated",
        &["The lockfile at `{}` needs to be updated", "changed significantly since {} was", "Your {} (", "{} is not up to date with"],
    ),
    // Builds: packages.
    rule("hint-local-path", &["Distribution not found at: file:///{}", "file:///C:/{}", "is not a valid directory: file:///{}"]),
    rule("hint-windows-only", &["Because {} has no wheels with a matching platform tag", "{} has no wheels with a matching platform tag"]),
    rule(
        "hint-no-wheel",
        &[
            "Because {} has no wheels with a matching Python",
            "has no wheels with a matching Python version tag",
            "requires Python {}, we can conclude",
        ],
    ),
    rule(
        "hint-git-private",
        &["could not read Username for '{}'", "Repository not found.", "Permission denied (publickey)", "Git operation failed"],
    ),
    rule("hint-hash-mismatch", &["Hash mismatch for `{}`", "THESE PACKAGES DO NOT MATCH THE HASHES"]),
    rule("hint-package-renamed", &["The '{}' PyPI package is deprecated"]),
    rule(
        "hint-native-library",
        &[
            "Can not find valid pkg-config name",
            "Error: {} executable not found.",
            "{}: No such file or directory compilation terminated",
            "fatal error: {}: No such file",
        ],
    ),
    rule("hint-package-unknown", &["Because {} was not found in the package registry"]),
    rule("hint-version-unknown", &["Because there is no version of {} and you require"]),
    rule("hint-conflict", &["No solution found when resolving dependencies"]),
    rule("hint-requirement-syntax", &["Couldn't parse requirement in"]),
    rule("hint-disk-full", &["No space left on device"]),
    rule("hint-build-memory", &["^ !     The build needed more than its", "ended with exit code -9.", "ended with exit code 137."]),
    rule("hint-build-time", &["^ !     The build took longer than {} minutes", "^ !     The build printed nothing for {} minutes"]),
    rule("hint-collectstatic-root", &["without having set the STATIC_ROOT setting"]),
    rule("hint-crlf", &["bash\\r", "/app/bin/{}: No such file or directory", "sh\\r': No such file", "python\\r", "python3\\r"]),
    rule("hint-build-failed", &["Failed to build `{}`"]),
    // Dynos: what the platform saw.
    rule("hint-memory", &["Error R15 (Memory quota vastly exceeded)"]),
    // Dynos: what Python said.
    rule("hint-module-missing", &["^ModuleNotFoundError: No module named '{}'", "^Error: No module named '{}'"]),
    rule("hint-config-var", &["^os.environ KeyError: '{}'", "UndefinedValueError: {} not found"]),
    rule("hint-indentation", &["^IndentationError: {}", "^TabError: {}"]),
    rule("hint-syntax", &["^SyntaxError: {}"]),
    rule("hint-wsgi-name", &["Failed to find attribute '{}' in", "Error loading ASGI app. Attribute \"{}\" not found"]),
    rule("hint-settings-module", &["You must either define the environment variable DJANGO_SETTINGS_MODULE"]),
    rule("hint-allowed-hosts", &["You may need to add '{}' to ALLOWED_HOSTS"]),
    rule("hint-circular", &["from partially initialized module '{}'"]),
    rule("hint-library-missing", &["ImportError: {}: cannot open shared object file"]),
    rule("hint-import-name", &["^ImportError: cannot import name '{}' from"]),
    rule("hint-dialect-postgres", &["Can't load plugin: sqlalchemy.dialects:postgres"]),
    rule(
        "hint-database-local",
        &[
            "connection to server at \"localhost\"",
            "connection to server at \"127.0.0.1\"",
            "Can't connect to MySQL server on 'localhost'",
            "Error 111 connecting to localhost",
        ],
    ),
    rule(
        "hint-migrations",
        &[
            "no such table: auth_{}",
            "no such table: django_{}",
            "You have {} unapplied migration",
            "relation \"django_{}\" does not exist",
            "relation \"auth_{}\" does not exist",
        ],
    ),
    rule("hint-sqlite-table", &["sqlite3.OperationalError: no such table: {}", "sqlite3.OperationalError) no such table: {}"]),
    rule("hint-template-missing", &["^jinja2.exceptions.TemplateNotFound: {}", "^django.template.exceptions.TemplateDoesNotExist: {}"]),
    rule("hint-keyboard", &["^EOFError: EOF when reading a line"]),
    rule(
        "hint-no-display",
        &["no display name and no $DISPLAY", "libtk8.6.so", "No module named '_tkinter'", "could not connect to display"],
    ),
    // Dynos: what the shell and the servers said.
    rule(
        "hint-port-literal",
        &[
            "'$PORT' is not a valid port number",
            "invalid int value: '$PORT'",
            "Invalid value for '--port': '$PORT'",
            "invalid literal for int() with base 10: '$PORT'",
        ],
    ),
    rule("hint-command-missing", &["line 1: {}: command not found", "line 1: exec: {}: not found", "bash: {}: command not found"]),
    rule("hint-file-missing", &["can't open file '/app/{}': [Errno 2]"]),
    rule("hint-address-in-use", &["Address already in use", "address already in use"]),
    rule("hint-worker-timeout", &["[CRITICAL] WORKER TIMEOUT"]),
    // Where it listens: only once the platform has given up.
    both("hint-port-fixed", &["Running on all addresses (0.0.0.0)", "http://0.0.0.0:{}"], NOT_BOUND),
    both(
        "hint-loopback",
        &[
            "Running on http://127.0.0.1:{}",
            "running on http://127.0.0.1:{}",
            "Listening at: http://127.0.0.1:{}",
            "Starting development server at http://127.0.0.1:{}",
        ],
        NOT_BOUND,
    ),
    rule("hint-port-fixed", NOT_BOUND),
    // Warnings: only where nothing else is wrong.
    rule("hint-no-procfile", &["No Procfile was found", "The Procfile is empty, so nothing will run."]),
    rule("hint-debug-mode", &["Debugger is active!"]),
    both("hint-exits", &["Process exited with status 0"], CRASHED),
    // Made by the exception itself, where no rule above knows it.
    rule("hint-module-case", &[]),
    rule("hint-package-builtin", &[]),
    rule("hint-crash", &[]),
];

/// Modules that come in a package of another name.
pub const PACKAGES: &[(&str, &str)] = &[
    ("cv2", "opencv-python-headless"),
    ("PIL", "Pillow"),
    ("sklearn", "scikit-learn"),
    ("skimage", "scikit-image"),
    ("yaml", "PyYAML"),
    ("bs4", "beautifulsoup4"),
    ("dotenv", "python-dotenv"),
    ("decouple", "python-decouple"),
    ("dateutil", "python-dateutil"),
    ("jwt", "PyJWT"),
    ("jose", "python-jose"),
    ("magic", "python-magic"),
    ("docx", "python-docx"),
    ("pptx", "python-pptx"),
    ("MySQLdb", "mysqlclient"),
    ("psycopg2", "psycopg2-binary"),
    ("Crypto", "pycryptodome"),
    ("OpenSSL", "pyOpenSSL"),
    ("serial", "pyserial"),
    ("telegram", "python-telegram-bot"),
    ("discord", "discord.py"),
    ("fitz", "PyMuPDF"),
    ("attr", "attrs"),
    ("git", "GitPython"),
    ("slugify", "python-slugify"),
    ("multipart", "python-multipart"),
    ("socketio", "python-socketio"),
    ("engineio", "python-engineio"),
    ("flask_sqlalchemy", "Flask-SQLAlchemy"),
    ("flask_login", "Flask-Login"),
    ("flask_wtf", "Flask-WTF"),
    ("flask_cors", "Flask-Cors"),
    ("flask_migrate", "Flask-Migrate"),
    ("flask_mail", "Flask-Mail"),
    ("flask_bcrypt", "Flask-Bcrypt"),
    ("flask_restful", "Flask-RESTful"),
    ("flask_socketio", "Flask-SocketIO"),
    ("rest_framework", "djangorestframework"),
    ("corsheaders", "django-cors-headers"),
    ("environ", "django-environ"),
    ("dj_database_url", "dj-database-url"),
    ("whitenoise", "whitenoise"),
    ("google.generativeai", "google-generativeai"),
    ("pkg_resources", "setuptools"),
    ("distutils", "setuptools"),
    ("MySQL", "mysql-connector-python"),
    ("mysql", "mysql-connector-python"),
    ("usb", "pyusb"),
    ("win32api", "pywin32"),
];

/// Modules that come with Python: none of them is a package to install.
pub const BUILTIN: &[&str] = &[
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "calendar",
    "collections",
    "copy",
    "csv",
    "datetime",
    "decimal",
    "email",
    "enum",
    "functools",
    "glob",
    "hashlib",
    "html",
    "http",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "os",
    "pathlib",
    "pickle",
    "random",
    "re",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "string",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "tkinter",
    "traceback",
    "typing",
    "unittest",
    "urllib",
    "uuid",
    "xml",
    "zipfile",
];
