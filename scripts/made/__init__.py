"""The pages that are made from declarations: one module a kind of page, each with `pages()`."""
