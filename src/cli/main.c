/* main.c - dyno. */
#include "cli/command.h"

int main(int argc, char **argv)
{
    return dyno_cli_main(argc, argv);
}
