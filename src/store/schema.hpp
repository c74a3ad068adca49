// The tables, as a list of migrations: number n brings a database from n-1 to n.
// A migration that was released is never edited; a change is a new one.
#pragma once

#include "store/database.hpp"

namespace oddjob::store {

// Servers that start at once on one database wait here for each other.
// Brings the database to the newest schema; all or nothing for each step.
// Errors: "store.schema_newer", "store.foreign" (a database of something else).
Result<> migrate(Database& db);

}  // namespace oddjob::store
