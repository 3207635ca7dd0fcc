// What the pages do by themselves. Without it they say the same, once.
"use strict";
