// A Run as the database keeps it: columns that are filtered on, a JSON
// document of the rest, and the manifest (job and report) apart.
#pragma once

#include <string>

#include "core/error.hpp"
#include "core/words.hpp"

namespace oddjob::store {

// As every database can keep it: valid UTF-8 without NUL.
std::string clean_text(std::string s);

// Valid UTF-8 always: what is not was made so, or it could not be read back.
std::string run_document(const Run& r);
std::string run_manifest(const Run& r);
// Of an approval, what has no column of its own.
std::string approval_document(const Approval& a);
Result<> read_approval_document(std::string_view text, Approval& a);
// Fill the fields that the text holds. Error "store.corrupt".
Result<> read_run_document(std::string_view text, Run& r);
Result<> read_run_manifest(std::string_view text, Run& r);

}  // namespace oddjob::store
