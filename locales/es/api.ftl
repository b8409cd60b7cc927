api-reference = Referencia de la API
reference-text = La Platform API de Heroku tal como la habla este servidor. HEROKU_API_KEY es un token de la API de tu cuenta, APP el nombre de una aplicación. Para programas:
reference-absent = No se ofrece aquí
reference-absent-text = Llamadas de la API de Heroku que este servidor responde con 404 y la frase de abajo. * es cualquier método, + cualquier parte más.
