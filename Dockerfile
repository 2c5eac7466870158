# The official nginx image holds the njs module. Where it cannot be had, `npm start` builds a base image of the
# same shape from Debian's packages (scripts/image.ts).
ARG BASE_IMAGE=nginx:1.30
FROM ${BASE_IMAGE}

COPY dist/sse /etc/nginx/sse
COPY examples /etc/nginx/examples
COPY nginx/nginx.conf nginx/machine.conf /etc/nginx/

USER 101:101
RUN nginx -t

EXPOSE 8080
STOPSIGNAL SIGQUIT
# Where shared memory is locked for ever there is no answer.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["curl", "-fsS", "-m", "2", "-o", "/dev/null", "http://127.0.0.1:8080/health"]

ENTRYPOINT []
CMD ["nginx", "-g", "daemon off;"]
