use super::Dialect::{Postgres, Sqlite};
use super::*;

fn names(source: &str, dialect: Dialect) -> (String, String) {
    let statement = Statement::parse(source, dialect).unwrap();
    (statement.text, statement.parameters.join(" "))
}

#[test]
fn parameters_are_found_where_they_are_and_nowhere_else() {
    for (source, sqlite, postgres, parameters) in [
        ("SELECT :a", "SELECT :a", "SELECT $1", "a"),
        (
            "select :b, :a, :b",
            "select :b, :a, :b",
            "select $1, $2, $1",
            "b a",
        ),
        (
            "SELECT ':a', \":b\" FROM t -- :c\n WHERE x=:d",
            "SELECT ':a', \":b\" FROM t -- :c\n WHERE x=:d",
            "SELECT ':a', \":b\" FROM t -- :c\n WHERE x=$1",
            "d",
        ),
        (
            "SELECT 'it''s :a' /* :b */ || :c",
            "SELECT 'it''s :a' /* :b */ || :c",
            "SELECT 'it''s :a' /* :b */ || $1",
            "c",
        ),
        ("SELECT :a::int", "SELECT :a::int", "SELECT $1::int", "a"),
        (
            "SELECT 1;  -- end\n",
            "SELECT 1  -- end\n",
            "SELECT 1  -- end\n",
            "",
        ),
        (
            "  /* first */ UPDATE t SET a=:a_1",
            "  /* first */ UPDATE t SET a=:a_1",
            "  /* first */ UPDATE t SET a=$1",
            "a_1",
        ),
        (
            "SELECT 'ä' || :a",
            "SELECT 'ä' || :a",
            "SELECT 'ä' || $1",
            "a",
        ),
    ] {
        assert_eq!(
            names(source, Sqlite),
            (sqlite.to_owned(), parameters.to_owned()),
            "{source}"
        );
        assert_eq!(
            names(source, Postgres),
            (postgres.to_owned(), parameters.to_owned()),
            "{source}"
        );
    }
    assert_eq!(names("SELECT [a:b], `c:d` FROM t", Sqlite).1, "");
    assert_eq!(names(r"SELECT E'\':a' || :b", Postgres).1, "b");
    assert_eq!(names(r"SELECT '\' || :b", Postgres).1, "b");
    assert_eq!(
        names("SELECT $q$ :a ' $q$ || $$ :b $$ || :c", Postgres).1,
        "c"
    );
    assert_eq!(names("SELECT /* a /* :b */ :c */ :d", Postgres).1, "d");
    assert_eq!(names("SELECT x[1:2], data ? 'k', a @> b", Postgres).1, "");
}

#[test]
fn other_statements_are_refused() {
    for (source, dialect, reason) in [
        ("", Sqlite, "begin with"),
        ("-- SELECT 1", Sqlite, "begin with"),
        ("DROP TABLE models", Sqlite, "begin with"),
        ("PRAGMA query_only = 0", Sqlite, "begin with"),
        ("ATTACH 'x' AS y", Sqlite, "begin with"),
        ("COMMIT", Postgres, "begin with"),
        ("SET TRANSACTION READ WRITE", Postgres, "begin with"),
        ("COPY t TO PROGRAM 'id'", Postgres, "begin with"),
        ("DO $$ BEGIN END $$", Postgres, "begin with"),
        ("SELECT 1; DROP TABLE models", Sqlite, "more than one"),
        ("SELECT 1;;", Sqlite, "more than one"),
        ("SELECT 'a", Sqlite, "does not end"),
        ("SELECT \"a", Postgres, "does not end"),
        ("SELECT /* a", Sqlite, "does not end"),
        ("SELECT /* /* a */", Postgres, "does not end"),
        ("SELECT $q$ a", Postgres, "does not end"),
        ("SELECT [a", Sqlite, "does not end"),
        ("SELECT ?", Sqlite, "not `?`"),
        ("SELECT ?1, 2", Sqlite, "not `?1`"),
        ("SELECT @a", Sqlite, "not `@a`"),
        ("SELECT $a", Sqlite, "not `$a`"),
        ("SELECT :1", Sqlite, "not `:1`"),
        ("SELECT $1", Postgres, "not `$1`"),
    ] {
        let error = Statement::parse(source, dialect)
            .expect_err(source)
            .to_string();
        assert!(error.contains(reason), "{source}: {error}");
    }
}
