/* about.hpp - behind the text of a program: its entry for the emulated driver. */
#ifndef EMULATE_CLUSTER
#define EMULATE_CLUSTER 1, 1, 1
#endif
#ifndef EMULATE_THREADS
#define EMULATE_THREADS 1024
#endif

template <typename P> void emulate_call(void (*entry)(P), const void *params)
{
    entry(*static_cast<const P *>(params));
}
template <typename P> constexpr unsigned emulate_params_bytes(void (*)(P))
{
    return sizeof(P);
}

/* Of __launch_bounds__; how many blocks a multiprocessor should hold says nothing here. */
constexpr unsigned emulate_threads(unsigned threads, unsigned = 0)
{
    return threads;
}

extern "C" {
extern unsigned char __start_emulate_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_emulate_shared[] __attribute__((weak, visibility("hidden")));

void emulate_enter(const void *params)
{
    emulate_call(dyno_main, params);
}

extern const emulate_about emulate_about;
const struct emulate_about emulate_about = {
    EMULATE_COMPUTE,   emulate_params_bytes(dyno_main), emulate_threads(EMULATE_THREADS),
    {EMULATE_CLUSTER}, __start_emulate_shared,          __stop_emulate_shared};
}
