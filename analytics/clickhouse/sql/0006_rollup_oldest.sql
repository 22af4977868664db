-- The oldest of the numbers that were recent: parts without any that leaves the last seven days are not opened for that.
ALTER TABLE rollup_parts {on_cluster} ADD COLUMN IF NOT EXISTS recent_least_us Int64
    DEFAULT if(empty(recent_created_us), 9223372036854775807, arrayMin(recent_created_us));
