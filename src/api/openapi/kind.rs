//! Types as `resources.txt` and `calls.txt` write them: `null/{id: uuid, name?: string}`, `[uuid]`,
//! `enum(a/b)`, `ref`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Any,
    Null,
    Bool,
    Text,
    Uuid,
    Time,
    Number,
    Integer,
    /// A name or an id, alone or in an object.
    Reference,
    /// Fields by name, and whether each must be there. Others may be there too.
    Object(BTreeMap<String, (Kind, bool)>),
    List(Box<Kind>),
    Words(Vec<String>),
    OneOf(Vec<Kind>),
    /// Another type by its name, in `resources.txt`.
    Named(String),
}

impl Kind {
    /// Reads one type.
    ///
    /// # Panics
    /// When the text is none: the texts are ours.
    pub fn parse(text: &str) -> Kind {
        let mut parser = Parser { rest: text };
        let kind = parser.kind();
        assert!(parser.rest.trim().is_empty(), "the type ends before {:?}", parser.rest);
        kind
    }

    /// Whether null is fine.
    pub fn takes_null(&self) -> bool {
        match self {
            Kind::Any | Kind::Null => true,
            Kind::OneOf(kinds) => kinds.iter().any(Kind::takes_null),
            _ => false,
        }
    }

    /// As JSON Schema.
    pub fn schema(&self) -> Value {
        match self {
            Kind::Any => json!({}),
            Kind::Null => json!({ "type": "null" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Text => json!({ "type": "string" }),
            Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
            Kind::Time => json!({ "type": "string", "format": "date-time" }),
            Kind::Number => json!({ "type": "number" }),
            Kind::Integer => json!({ "type": "integer" }),
            Kind::Reference => json!({ "$ref": "#/components/schemas/reference" }),
            Kind::Named(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            Kind::List(kind) => json!({ "type": "array", "items": kind.schema() }),
            Kind::Words(words) => json!({ "enum": words }),
            Kind::OneOf(kinds) => json!({ "anyOf": kinds.iter().map(Kind::schema).collect::<Vec<_>>() }),
            Kind::Object(fields) => {
                let properties: Map<String, Value> = fields.iter().map(|(name, (kind, _))| (name.clone(), kind.schema())).collect();
                let required: Vec<&String> = fields.iter().filter(|(_, (_, needed))| *needed).map(|(name, _)| name).collect();
                json!({ "type": "object", "properties": properties, "required": required })
            }
        }
    }

    /// A value that shows what to send: the fields that must be there, or all where none must.
    pub fn example(&self, field: &str) -> Value {
        match self {
            Kind::Bool => json!(true),
            Kind::Integer | Kind::Number => json!(1),
            Kind::List(kind) => json!([kind.example(field)]),
            Kind::Words(words) => json!(words.first()),
            Kind::OneOf(kinds) => kinds.first().map_or(Value::Null, |kind| kind.example(field)),
            Kind::Object(fields) => {
                let some = fields.values().any(|(_, needed)| *needed);
                let shown = fields.iter().filter(|(_, (_, needed))| *needed || !some);
                shown.map(|(name, (kind, _))| (name.clone(), kind.example(name))).collect::<Map<_, _>>().into()
            }
            Kind::Any | Kind::Null => Value::Null,
            Kind::Text | Kind::Uuid | Kind::Time | Kind::Reference | Kind::Named(_) => json!(sample(field)),
        }
    }
}

/// A word for a text field, by its name.
fn sample(field: &str) -> &'static str {
    match field {
        "app" | "name" => "tienda",
        "url" => "https://example.org/in",
        "hostname" => "www.example.org",
        "user" | "recipient" => "ana@example.org",
        "role" => "deploy",
        "command" => "bash",
        "plan" => "heroku-postgresql:mini",
        "release" => "v3",
        "type" => "web",
        "include" => "api:release",
        "buildpack" => "heroku/python",
        "pipeline" => "tiendas",
        "addon" | "addon_attachment" => "DATABASE",
        _ => "text",
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_-?".contains(c))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn kind(&mut self) -> Kind {
        let mut kinds = vec![self.single()];
        while self.eat('/') {
            kinds.push(self.single());
        }
        if kinds.len() == 1 { kinds.remove(0) } else { Kind::OneOf(kinds) }
    }

    fn single(&mut self) -> Kind {
        if self.eat('[') {
            let inner = self.kind();
            assert!(self.eat(']'), "a list ends: {}", self.rest);
            return Kind::List(Box::new(inner));
        }
        if self.eat('{') {
            return self.object();
        }
        match self.word().as_str() {
            "null" => Kind::Null,
            "boolean" => Kind::Bool,
            "string" | "email" | "uri" => Kind::Text,
            "uuid" => Kind::Uuid,
            "date-time" => Kind::Time,
            "number" => Kind::Number,
            "integer" => Kind::Integer,
            "object" => Kind::Object(BTreeMap::new()),
            "any" => Kind::Any,
            "ref" => Kind::Reference,
            "enum" => self.words(),
            "" => panic!("a type is missing before {:?}", self.rest),
            name => Kind::Named(name.to_owned()),
        }
    }

    fn object(&mut self) -> Kind {
        let mut fields = BTreeMap::new();
        while !self.eat('}') {
            let name = self.word();
            assert!(!name.is_empty(), "a field has a name before {:?}", self.rest);
            let kind = if self.eat(':') { self.kind() } else { Kind::Any };
            match name.strip_suffix('?') {
                Some(name) => fields.insert(name.to_owned(), (kind, false)),
                None => fields.insert(name, (kind, true)),
            };
            self.eat(',');
        }
        Kind::Object(fields)
    }

    fn words(&mut self) -> Kind {
        assert!(self.eat('('), "an enum lists its words");
        let mut words = Vec::new();
        while !self.eat(')') {
            words.push(self.word());
            self.eat('/');
        }
        Kind::Words(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_shown_as_schema_and_by_example() {
        let kind = Kind::parse("{app: ref, name?: string/null, to: [{stage: enum(staging/production)}]}");
        assert_eq!(kind.example(""), json!({ "app": "tienda", "to": [{ "stage": "staging" }] }));
        let schema = kind.schema();
        assert_eq!(schema["required"], json!(["app", "to"]));
        assert_eq!(schema["properties"]["name"], json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }));
        assert_eq!(Kind::parse("[app]").schema(), json!({ "type": "array", "items": { "$ref": "#/components/schemas/app" } }));
    }
}
