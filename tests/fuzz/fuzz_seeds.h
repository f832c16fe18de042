#pragma once

#include <string>
#include <vector>

// Inputs to begin from: what a fuzz target takes when nothing is wrong. A target may define it.
std::vector<std::string> FuzzSeeds() __attribute__((weak));
