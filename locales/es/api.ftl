api-reference = Referencia de la API
reference-text = La Platform API de Heroku tal como la habla este servidor. HEROKU_API_KEY es un token de la API de tu cuenta, APP el nombre de una aplicación. Para programas:
