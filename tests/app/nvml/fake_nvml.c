/* A driver's management library with two GPUs, the second of which says nothing but its memory.
 * Built with BROKEN it does not start; with LACKING it does not give the first GPU and has no
 * functions for power and temperature; with ABSURD it claims more GPUs than there are and writes
 * names without an end. */
#include <string.h>

#define NOT_SUPPORTED 3
#define DRIVER_NOT_LOADED 9

#ifdef ABSURD
#define COUNT 4000000000u
#else
#define COUNT 2u
#endif

static int gpus[2];

int nvmlInit_v2(void) {
#ifdef BROKEN
  return DRIVER_NOT_LOADED;
#else
  return 0;
#endif
}
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = COUNT;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
#ifdef LACKING
  if (index == 0) return NOT_SUPPORTED;
#endif
  *device = &gpus[index % 2];
  return 0;
}
static void write_text(char *text, unsigned size, const char *value) {
#ifdef ABSURD
  memset(text, value[0], size);
#else
  strncpy(text, value, size);
#endif
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
  write_text(text, size, "580.65.06");
  return 0;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
  if (device == &gpus[1]) return NOT_SUPPORTED;
  write_text(text, size, "NVIDIA H200");
  return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *percent) {
  if (device == &gpus[1]) return NOT_SUPPORTED;
  percent[0] = 87;
  percent[1] = 12;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *bytes) {
  (void)device;
  bytes[0] = 150ull << 30; /* total */
  bytes[1] = 100ull << 30; /* free */
  bytes[2] = 50ull << 30;  /* used */
  return 0;
}
#ifndef LACKING
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
  if (device == &gpus[1] || sensor != 0) return NOT_SUPPORTED;
  *celsius = 61;
  return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
  if (device == &gpus[1]) return NOT_SUPPORTED;
  *milliwatts = 412500;
  return 0;
}
#endif
