-- What the newest replay of a letter met, and the index that retention by age walks.
-- table: eventwriter_dead_letters
ALTER TABLE eventwriter_dead_letters ADD COLUMN replay_tried_at timestamptz;
ALTER TABLE eventwriter_dead_letters ADD COLUMN replay_error text;
CREATE INDEX eventwriter_dead_letters_created ON eventwriter_dead_letters (created_at);
