/* nothing.c - a library that has none of the functions that are wanted of it, as one that is too
 * old lacks some.
 */
const char emulate_nothing[] = "nothing";
