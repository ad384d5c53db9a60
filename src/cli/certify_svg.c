/* certify_svg.c - a certificate as a picture: for each point the times of both sides as dots, and
 * the ratios of the blocks with s and its interval. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/certify.h"

#define WIDTH      860
#define LEFT       150
#define RIGHT      40
#define TOP        78
#define ROW_PIXELS 40
#define POINT_ROWS 5   /* title, baseline, engine, their scale, ratio */
#define RATIO_ROWS 2.6 /* from the baseline's row to the ratio's */

/* A linear scale onto the picture's width. */
struct scale {
    double low, high;
};

static double x_of(const struct scale *scale, double value)
{
    const double span = scale->high > scale->low ? scale->high - scale->low : 1.0;
    return LEFT + (value - scale->low) / span * (WIDTH - LEFT - RIGHT);
}

static void widen(struct scale *scale, double value)
{
    scale->low = fmin(scale->low, value);
    scale->high = fmax(scale->high, value);
}

/* Text that may hold anything. */
static void escaped(struct dyno_strbuf *out, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '<')
            dyno_strbuf_puts(out, "&lt;");
        else if (*text == '&')
            dyno_strbuf_puts(out, "&amp;");
        else
            dyno_strbuf_add(out, text, 1);
    }
}

static void label(struct dyno_strbuf *out, double x, double y, const char *anchor,
                  const char *class, const char *text)
{
    dyno_strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y,
                       anchor, class);
    escaped(out, text);
    dyno_strbuf_puts(out, "</text>\n");
}

static double item_ms(const struct dyno_cert_segment *s)
{
    return (double)s->ns / (double)s->items * 1e-6;
}

static double ratio_of(const struct dyno_cert_block *block)
{
    const struct dyno_cert_segment *s = block->segments;
    return sqrt(item_ms(&s[0]) * item_ms(&s[3]) / (item_ms(&s[1]) * item_ms(&s[2])));
}

/* What is drawn of a block: a dot each. */
typedef void block_fn(void *arg, const struct dyno_cert_block *block, uint32_t process);

static void each_block(const struct dyno_cert *cert, const struct dyno_cert_series *series,
                       block_fn *fn, void *arg)
{
    for (uint32_t p = 0; p < series->count; p++) {
        for (uint32_t b = 0; b < series->processes[p].count; b++) {
            if (dyno_cert_block_counts(cert, &series->processes[p].blocks[b]))
                fn(arg, &series->processes[p].blocks[b], p);
        }
    }
}

struct drawing {
    struct dyno_strbuf *out;
    struct scale times, ratios;
    double y, processes;
};

static void measure_block(void *arg, const struct dyno_cert_block *block, uint32_t process)
{
    struct drawing *drawing = arg;
    (void)process;
    for (int i = 0; i < 4; i++)
        widen(&drawing->times, item_ms(&block->segments[i]));
    widen(&drawing->ratios, ratio_of(block));
}

static void draw_block(void *arg, const struct dyno_cert_block *block, uint32_t process)
{
    const struct drawing *drawing = arg;
    /* Processes apart, so that dots are seen, and all of them inside of their row. */
    const double step = fmin(4.0, (ROW_PIXELS - 12.0) / drawing->processes);
    const double spread = ((double)process - (drawing->processes - 1.0) / 2.0) * step;
    for (int i = 0; i < 4; i++) {
        const bool is_b = i == 1 || i == 2;
        dyno_strbuf_printf(drawing->out, "<circle cx=\"%.2f\" cy=\"%.1f\" r=\"3\" class=\"%s\"/>\n",
                           x_of(&drawing->times, item_ms(&block->segments[i])),
                           drawing->y + spread + (is_b ? ROW_PIXELS : 0.0), is_b ? "b" : "a");
    }
    dyno_strbuf_printf(drawing->out, "<circle cx=\"%.2f\" cy=\"%.1f\" r=\"3\" class=\"r\"/>\n",
                       x_of(&drawing->ratios, ratio_of(block)),
                       drawing->y + spread + RATIO_ROWS * ROW_PIXELS);
}

static void draw_interval(const struct drawing *drawing, const struct dyno_cert_interval *log_value)
{
    const double y = drawing->y + RATIO_ROWS * ROW_PIXELS;
    const double lower = x_of(&drawing->ratios, exp(log_value->lower));
    const double value = x_of(&drawing->ratios, exp(log_value->value));
    const double upper = x_of(&drawing->ratios, exp(log_value->upper));
    dyno_strbuf_printf(drawing->out,
                       "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"30\" class=\"i\"/>\n"
                       "<line x1=\"%.2f\" y1=\"%.1f\" x2=\"%.2f\" y2=\"%.1f\" class=\"v\"/>\n",
                       lower, y - 15.0, fmax(upper - lower, 1.0), value, y - 15.0, value, y + 15.0);
}

/* The ends of a scale under a row. */
static void draw_ends(const struct drawing *drawing, double y, const struct scale *scale,
                      const char *unit)
{
    char text[64];
    dyno_strbuf_printf(drawing->out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"x\"/>\n", LEFT,
                       y - 11.0, WIDTH - RIGHT, y - 11.0);
    (void)snprintf(text, sizeof(text), "%.4g%s", scale->low, unit);
    label(drawing->out, LEFT, y, "start", "s", text);
    (void)snprintf(text, sizeof(text), "%.4g%s", scale->high, unit);
    label(drawing->out, WIDTH - RIGHT, y, "end", "s", text);
}

static void draw_point(const struct dyno_cert *cert, uint32_t idx, double y,
                       struct dyno_strbuf *out)
{
    const struct dyno_cert_point *point = &dyno_cert_points(cert)[idx];
    const bool is_engine = cert->kind == DYNO_CERT_ENGINE;
    const struct dyno_cert_series *series = is_engine ? &point->speedup : &point->control;
    const struct dyno_cert_interval *interval =
        is_engine ? &point->speedup_log : &point->control_log;
    struct drawing drawing = {.out = out,
                              .times = {0.0, 0.0},
                              .ratios = {1.0, 1.0},
                              .y = y + ROW_PIXELS,
                              .processes = fmax(series->count, 1.0)};
    char text[256];
    int used = snprintf(text, sizeof(text), "%s", cert->point_count > 1 ? "at " : "");
    for (uint32_t a = 0; a < cert->axis_count && used > 0 && (size_t)used < sizeof(text); a++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%lld", a > 0 ? " x " : "",
                         (long long)point->at[a]);
    each_block(cert, series, measure_block, &drawing);
    widen(&drawing.ratios, exp(interval->lower));
    widen(&drawing.ratios, exp(interval->upper));
    label(out, 20, y + 8, "start", "h", text);
    label(out, LEFT - 14, drawing.y + 4, "end", "l", "unoptimised");
    label(out, LEFT - 14, drawing.y + ROW_PIXELS + 4, "end", "l",
          is_engine ? "engine" : "unoptimised again");
    (void)snprintf(text, sizeof(text), "%s %.3f (%.3f - %.3f)", is_engine ? "s =" : "A/A",
                   exp(interval->value), exp(interval->lower), exp(interval->upper));
    label(out, WIDTH - RIGHT, y + 8, "end", "h", text);
    label(out, LEFT - 14, drawing.y + RATIO_ROWS * ROW_PIXELS + 4, "end", "l", "ratio of a block");
    draw_interval(&drawing, interval);
    each_block(cert, series, draw_block, &drawing);
    draw_ends(&drawing, drawing.y + 1.5 * ROW_PIXELS + 12, &drawing.times, " ms an item");
    draw_ends(&drawing, drawing.y + (RATIO_ROWS + 0.5) * ROW_PIXELS + 12, &drawing.ratios, "");
}

void dyno_certify_svg(const struct dyno_cert *cert, struct dyno_strbuf *out)
{
    const double point_pixels = POINT_ROWS * ROW_PIXELS + 16.0;
    const double height = TOP + point_pixels * cert->point_count + 30.0;
    char text[512];
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_strbuf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
        "viewBox=\"0 0 %d %.0f\">\n<style>text{font-family:sans-serif;fill:#1b1f24}"
        ".t{font-size:17px;font-weight:bold}.h{font-size:14px;font-weight:bold}"
        ".l{font-size:13px}.s{font-size:11px;fill:#57606a}.a{fill:#b35900;fill-opacity:.55}"
        ".b{fill:#0b62b0;fill-opacity:.55}.r{fill:#3b3f45;fill-opacity:.55}.i{fill:#9cc9a3}"
        ".v{stroke:#1a6b2a;stroke-width:2}.x{stroke:#d0d7de}</style>\n"
        "<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n",
        WIDTH, height, WIDTH, height, WIDTH, height);
    (void)snprintf(text, sizeof(text), "%s certificate of %s: %s%s",
                   cert->kind == DYNO_CERT_ENGINE ? "Engine" : "Reference", cert->model_name,
                   dyno_cert_outcome_text(cert->outcome),
                   cert->is_trial && cert->reason[0] != 0 ? ", would be refused" : "");
    label(out, 20, 28, "start", "t", text);
    (void)snprintf(text, sizeof(text), "%s; %u processes x %u blocks A B B A x %.3g s, batch %llu",
                   cert->device_class, cert->process_count, cert->block_count,
                   (double)cert->segment_ns * 1e-9, (unsigned long long)cert->batch);
    label(out, 20, 50, "start", "s", text);
    for (uint32_t i = 0; i < cert->point_count; i++)
        draw_point(cert, i, TOP + point_pixels * i, out);
    dyno_cert_hex(&cert->address, hex);
    (void)snprintf(text, sizeof(text),
                   "%.16s...; the band is the 95 %% interval, a dot a segment or a block", hex);
    label(out, 20, height - 12, "start", "s", text);
    dyno_strbuf_puts(out, "</svg>\n");
}
