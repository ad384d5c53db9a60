/* drive.h - the child that drives one GPU for the server: engines and instances of them, by the
 * commands of wire.h.
 *
 * One thread reads commands, one opens and closes engines, one runs, one thing after the other, so
 * that a run has the GPU to itself and its events are its own.  An error of the GPU ends the
 * process after it was told: such an error stays for all that the process would do there.
 */
#ifndef DYNO_SERVE_GPU_DRIVE_H
#define DYNO_SERVE_GPU_DRIVE_H

/* Serve the socket DYNO_GPU_FD until the server closes it; the process's exit code.  device:
 * "cuda:N".  Does not return after an error of the GPU. */
int dyno_gpu_drive(const char *device);

#endif /* DYNO_SERVE_GPU_DRIVE_H */
