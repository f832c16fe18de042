#pragma once

#include <cstdint>
#include <memory>

#include "observe/run_store.h"

namespace ponder {

// A store whose writes are done by a thread of its own, in their order, so that compressing and
// syncing never hold up a step. A write returns at once, unless `max_queued_steps` steps wait
// already. What went wrong is returned by the next call of any kind, and by all after it: nothing
// is written behind an error. Reads and Flush wait until everything before them is written; the
// destructor too. Unlike other stores it may be used from several threads.
std::unique_ptr<RunStore> CreateBackgroundStore(std::unique_ptr<RunStore> store,
                                                int64_t max_queued_steps = 2);

}  // namespace ponder
