//! What transitions leave beside their runs' own rows, as the arrays that the schema's function takes. Most leave
//! nothing.

use crate::encode::Rows;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

#[derive(Default)]
pub(super) struct Notes<'a> {
    audit_item: Vec<i32>,
    audit_body: Vec<&'a str>,
    post_item: Vec<i32>,
    post_id: Vec<Uuid>,
    post_endpoint: Vec<&'a str>,
    post_topic: Vec<&'a str>,
    post_body: Vec<&'a str>,
    post_at: Vec<i64>,
}

impl<'a> Notes<'a> {
    /// `None` where no transition leaves any.
    pub fn of(all: impl Iterator<Item = &'a Rows>) -> Option<Self> {
        let mut notes = Self::default();
        for (rows, item) in all.zip(1..) {
            for body in &rows.audit {
                notes.audit_item.push(item);
                notes.audit_body.push(body);
            }
            for post in &rows.posts {
                notes.post_item.push(item);
                notes.post_id.push(post.id);
                notes.post_endpoint.push(&post.endpoint);
                notes.post_topic.push(post.topic);
                notes.post_body.push(&post.body);
                notes.post_at.push(post.at);
            }
        }
        let any = !notes.audit_item.is_empty() || !notes.post_item.is_empty();
        any.then_some(notes)
    }

    pub fn params(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.audit_item,
            &self.audit_body,
            &self.post_item,
            &self.post_id,
            &self.post_endpoint,
            &self.post_topic,
            &self.post_body,
            &self.post_at,
        ]
    }
}
